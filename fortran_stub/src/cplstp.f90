!> Coupling: what the ocean offers to and accepts from Halocline, through the client alone.
!!
!! Sent at the beginning of a step: the now level u, v, h, t (the state that a closure in Fortran reads too), and once
!! masks, metrics, distances and the Coriolis parameter. Received: du, dv [m s-2] and dt [degC s-1], added to the right-hand
!! sides; and du_bias, dv_bias [m s-2], dh_bias [m s-1], dt_bias [degC s-1] of a bias correction, taken at the beginning of a
!! step (asminc), because thickness comes first in it. With ln_zb20_fb also flag_u and flag_v: where a flag is above 0.5 the network
!! gave nothing (the coupler sends zero), and the ocean adds its own closure to that face.
module cplstp
   use cpl_halocline, only: cpl_init, cpl_domain, cpl_var, cpl_define, cpl_snd, cpl_rcv, cpl_ready, cpl_status, cpl_restart, &
   &  cpl_stop_requested, cpl_finalize, cpl_out, cpl_in, cpl_inactive
   use par_kind, only: wp
   use par_oce, only: Ni0glo, Nj0glo, Ni_0, Nj_0, jpi, jpj, jpk, jp_tem, Nis0, Nie0, Njs0, Nje0
   use asminc, only: asm_bias
   use dom_oce, only: rn_Dt, nimpp, njmpp, mig, mjg, tmask, umask, vmask, fmask, e1t, e2t, e1u, e2u, e1v, e2v, e1f, e2f, &
   &  ff_t, ff_f, gphit, gphiu, gphiv
   use dynzb20, only: ln_zb20_fb, dyn_zb20_faces
   use usrdef, only: cn_bnd
   use oce, only: uu, vv, e3t, ts
   use in_out_manager, only: nn_it000, nn_itend, nn_date0, nn_leapy, nn_stock
   use traadv, only: ln_tra
   implicit none
   private
   public :: cpl_wanted, cpl_start, cpl_oce_define, cpl_oce_stop, cpl_oce_snd, cpl_oce_bias, cpl_oce_ready, cpl_oce_end, &
   &  dyn_cpl, tra_cpl

   logical, public :: l_cpl = .false.        !< the run is coupled
   logical, public :: l_describe = .false.   !< print the handshake and stop

   integer, parameter :: jp_static = 19      ! fields that are sent once
   integer :: nid_u, nid_v, nid_h, nid_t, nid_du, nid_dv, nid_dt, nid_fu, nid_fv, nid_bu, nid_bv, nid_bh, nid_bt
   integer :: nkt = 0                        ! the present step
   real(wp), allocatable, dimension(:, :, :) :: zdu, zdv, zdt   ! tendencies of the interior, held between exchanges
   real(wp), allocatable, dimension(:, :, :) :: zbu, zbv, zbh, zbt   ! the same of the bias correction
   real(wp), allocatable, dimension(:, :, :) :: zfu, zfv        ! flags of the interior, held too
   logical, allocatable, dimension(:, :, :) :: llu, llv         ! the same as marks on the whole subdomain

contains

   !> True when ln_cpl is set: read before MPI starts, because the client splits the world.
   logical function cpl_wanted()
      integer :: jf, inum, ios
      logical :: llin
      character(len=256) :: cl
      character(len=12), parameter :: clfile(2) = ['namelist_ref', 'namelist_cfg']

      cpl_wanted = .false.
      do jf = 1, 2
         open (newunit=inum, file=clfile(jf), status='old', action='read', iostat=ios)
         if (ios /= 0) cycle
         llin = .false.
         do
            read (inum, '(a)', iostat=ios) cl
            if (ios /= 0) exit
            call lower(cl)
            cl = adjustl(cl(:index(cl//'!', '!') - 1))
            if (cl(1:1) == '&') llin = cl(2:8) == 'namrun '
            if (.not. llin .or. index(cl, 'ln_cpl') == 0) cycle
            cl = adjustl(cl(index(cl, 'ln_cpl') + 6:))
            if (cl(1:1) == '=') cpl_wanted = scan(adjustl(cl(2:)), 't') == 1 .or. index(adjustl(cl(2:)), '.t') == 1
         end do
         close (inum)
      end do
   end function cpl_wanted

   pure subroutine lower(cd)
      character(len=*), intent(inout) :: cd
      integer :: jc
      do jc = 1, len(cd)
         if (cd(jc:jc) >= 'A' .and. cd(jc:jc) <= 'Z') cd(jc:jc) = achar(iachar(cd(jc:jc)) + 32)
      end do
   end subroutine lower

   !> Meet the coupler; the communicator of the ocean for mpp_start.
   subroutine cpl_start(ld_describe, kcomm)
      logical, intent(in) :: ld_describe   !< no coupler: cpl_oce_define prints the handshake
      integer, intent(out) :: kcomm        !< communicator of the ocean ranks
      l_cpl = .true.
      l_describe = ld_describe
      call cpl_init('gyre', kcomm, ld_describe=ld_describe)
   end subroutine cpl_start

   !> Declare domain, fields and calendar; send what never changes.
   subroutine cpl_oce_define()
      character(len=8) :: clcal

      call cpl_domain(Ni0glo, Nj0glo, nimpp - 1, njmpp - 1, Ni_0, Nj_0, trim(cn_bnd))
      call cpl_var(nid_u, 'u', 'm s-1', 'U', jpk, cpl_out)
      call cpl_var(nid_v, 'v', 'm s-1', 'V', jpk, cpl_out)
      call cpl_var(nid_h, 'h', 'm', 'T', jpk, cpl_out)
      if (ln_tra) call cpl_var(nid_t, 't', 'degC', 'T', 1, cpl_out)
      call static(.true.)
      call cpl_var(nid_du, 'du', 'm s-2', 'U', jpk, cpl_in)
      call cpl_var(nid_dv, 'dv', 'm s-2', 'V', jpk, cpl_in)
      if (ln_tra) call cpl_var(nid_dt, 'dt', 'degC s-1', 'T', 1, cpl_in)
      call cpl_var(nid_bu, 'du_bias', 'm s-2', 'U', jpk, cpl_in)
      call cpl_var(nid_bv, 'dv_bias', 'm s-2', 'V', jpk, cpl_in)
      call cpl_var(nid_bh, 'dh_bias', 'm s-1', 'T', jpk, cpl_in)
      if (ln_tra) call cpl_var(nid_bt, 'dt_bias', 'degC s-1', 'T', 1, cpl_in)
      if (ln_zb20_fb) then
         call cpl_var(nid_fu, 'flag_u', '1', 'U', jpk, cpl_in)
         call cpl_var(nid_fv, 'flag_v', '1', 'V', jpk, cpl_in)
      end if
      select case (nn_leapy)
      case (0)
         clcal = 'noleap'
      case (1)
         clcal = 'standard'
      case default
         clcal = '360_day'
      end select
      call cpl_define(rn_Dt, nn_it000, nn_itend, nn_date0, clcal)
      if (l_describe) return
      call static(.false.)
      allocate (zdu(Ni_0, Nj_0, jpk), zdv(Ni_0, Nj_0, jpk), zdt(Ni_0, Nj_0, 1))
      allocate (zbu(Ni_0, Nj_0, jpk), zbv(Ni_0, Nj_0, jpk), zbh(Ni_0, Nj_0, jpk), zbt(Ni_0, Nj_0, 1))
      zbu = 0._wp; zbv = 0._wp; zbh = 0._wp; zbt = 0._wp
      if (ln_zb20_fb) then
         allocate (zfu(Ni_0, Nj_0, jpk), zfv(Ni_0, Nj_0, jpk), llu(jpi, jpj, jpk), llv(jpi, jpj, jpk))
         llu = .false.; llv = .false.
      end if
   end subroutine cpl_oce_define

   !> Masks of the first layer, metrics, Coriolis parameter, distances from the southern wall, and the place in the global grid
   !! (column and row, from 1): declared, or sent.
   subroutine static(ld_declare)
      logical, intent(in) :: ld_declare   !< .true.: declare, .false.: send
      integer :: ji, jj
      call one('tmask', '1', 'T', tmask(:, :, 1))
      call one('umask', '1', 'U', umask(:, :, 1))
      call one('vmask', '1', 'V', vmask(:, :, 1))
      call one('fmask', '1', 'F', fmask(:, :, 1))
      call one('e1t', 'm', 'T', e1t)
      call one('e2t', 'm', 'T', e2t)
      call one('e1u', 'm', 'U', e1u)
      call one('e2u', 'm', 'U', e2u)
      call one('e1v', 'm', 'V', e1v)
      call one('e2v', 'm', 'V', e2v)
      call one('e1f', 'm', 'F', e1f)
      call one('e2f', 'm', 'F', e2f)
      call one('ff_t', 's-1', 'T', ff_t)
      call one('ff_f', 's-1', 'F', ff_f)
      call one('gphit', 'km', 'T', gphit)
      call one('gphiu', 'km', 'U', gphiu)
      call one('gphiv', 'km', 'V', gphiv)
      call one('mig', '1', 'T', spread([(real(mig(ji), wp), ji=1, jpi)], 2, jpj))
      call one('mjg', '1', 'T', spread([(real(mjg(jj), wp), jj=1, jpj)], 1, jpi))

   contains

      subroutine one(cdname, cdunits, cdpoint, pfield)
         character(len=*), intent(in) :: cdname, cdunits, cdpoint
         real(wp), intent(in) :: pfield(:, :)
         integer, save :: iid(jp_static), in = 0
         in = mod(in, jp_static) + 1
         if (ld_declare) then
            call cpl_var(iid(in), cdname, cdunits, cdpoint, 1, cpl_out)
         else
            call cpl_snd(iid(in), 0, pfield(Nis0:Nie0, Njs0:Nje0))
         end if
      end subroutine one
   end subroutine static

   !> Step kt is the last one when the coupler, or SIGTERM, asked for an early end.
   subroutine cpl_oce_stop(kt)
      integer, intent(in) :: kt   !< step that begins
      if (cpl_stop_requested(kt)) nn_itend = kt
   end subroutine cpl_oce_stop

   !> Send the now state of step kt.
   subroutine cpl_oce_snd(kt, Kmm)
      integer, intent(in) :: kt, Kmm   !< step and time level
      logical :: llrst
      nkt = kt
      llrst = kt == nn_itend
      if (nn_stock > 0) llrst = llrst .or. mod(kt, max(nn_stock, 1)) == 0
      if (llrst) call cpl_restart(kt)
      call cpl_snd(nid_u, kt, uu(Nis0:Nie0, Njs0:Nje0, :, Kmm))
      call cpl_snd(nid_v, kt, vv(Nis0:Nie0, Njs0:Nje0, :, Kmm))
      call cpl_snd(nid_h, kt, e3t(Nis0:Nie0, Njs0:Nje0, :, Kmm))
      if (ln_tra) call cpl_snd(nid_t, kt, ts(Nis0:Nie0, Njs0:Nje0, 1, jp_tem, Kmm))
   end subroutine cpl_oce_snd

   !> Take the tendencies of a bias correction for this step; waits at their own coupling steps only.
   subroutine cpl_oce_bias()
      logical :: ll(4)
      ll(1) = delivered(nid_bu, zbu)
      ll(2) = delivered(nid_bv, zbv)
      ll(3) = delivered(nid_bh, zbh)
      ll(4) = .false.
      if (ln_tra) ll(4) = delivered(nid_bt, zbt)
      if (any(ll)) call asm_bias(zbu, zbv, zbh, zbt)
   end subroutine cpl_oce_bias

   !> Receive a field, .true. when the coupler delivered a value that is to be applied. Between two exchanges the client leaves
   !! the field as it is: the mark in its corner stays.
   logical function delivered(kfld, pfield)
      integer, intent(in) :: kfld
      real(wp), intent(inout) :: pfield(:, :, :)   !< interior
      real(wp) :: zcorner
      zcorner = pfield(1, 1, 1)
      pfield(1, 1, 1) = -huge(1._wp)
      call cpl_rcv(kfld, nkt, pfield)
      delivered = pfield(1, 1, 1) > -huge(1._wp)
      if (.not. delivered) pfield(1, 1, 1) = zcorner
      if (cpl_status(kfld) == cpl_inactive) delivered = .false.
   end function delivered

   !> The tendencies of this step are there, and can be taken band by band: no wait, and no flags that ask for whole fields.
   logical function cpl_oce_ready()
      logical :: ll_u, ll_v, ll_t
      ll_u = cpl_ready(nid_du, nkt)
      ll_v = cpl_ready(nid_dv, nkt)
      ll_t = .true.
      if (ln_tra) ll_t = cpl_ready(nid_dt, nkt)
      cpl_oce_ready = ll_u .and. ll_v .and. ll_t .and. .not. ln_zb20_fb
   end function cpl_oce_ready

   !> Add the received momentum tendencies, and the ocean's own closure where the flags ask for it.
   subroutine dyn_cpl(Kmm, Krhs, kj1, kj2, ld_receive)
      integer, intent(in) :: Kmm, Krhs     !< time levels
      integer, intent(in) :: kj1, kj2      !< rows
      logical, intent(in) :: ld_receive    !< the first rows of this step: receive before
      integer :: j1, j2
      if (ld_receive) then
         call cpl_rcv(nid_du, nkt, zdu)
         call cpl_rcv(nid_dv, nkt, zdv)
      end if
      j1 = kj1 - Njs0 + 1
      j2 = kj2 - Njs0 + 1
      uu(Nis0:Nie0, kj1:kj2, :, Krhs) = uu(Nis0:Nie0, kj1:kj2, :, Krhs) + zdu(:, j1:j2, :)*umask(Nis0:Nie0, kj1:kj2, :)
      vv(Nis0:Nie0, kj1:kj2, :, Krhs) = vv(Nis0:Nie0, kj1:kj2, :, Krhs) + zdv(:, j1:j2, :)*vmask(Nis0:Nie0, kj1:kj2, :)
      if (.not. ln_zb20_fb) return
      call cpl_rcv(nid_fu, nkt, zfu)
      call cpl_rcv(nid_fv, nkt, zfv)
      llu(Nis0:Nie0, Njs0:Nje0, :) = zfu > 0.5_wp
      llv(Nis0:Nie0, Njs0:Nje0, :) = zfv > 0.5_wp
      call dyn_zb20_faces(Kmm, Krhs, llu, llv)
   end subroutine dyn_cpl

   !> Add the received tracer tendency, times the now thickness.
   subroutine tra_cpl(Kmm, Krhs, kj1, kj2, ld_receive)
      integer, intent(in) :: Kmm, Krhs     !< time levels
      integer, intent(in) :: kj1, kj2      !< rows
      logical, intent(in) :: ld_receive    !< the first rows of this step: receive before
      if (ld_receive) call cpl_rcv(nid_dt, nkt, zdt)
      ts(Nis0:Nie0, kj1:kj2, 1, jp_tem, Krhs) = ts(Nis0:Nie0, kj1:kj2, 1, jp_tem, Krhs) &
      &  + zdt(:, kj1 - Njs0 + 1:kj2 - Njs0 + 1, 1)*tmask(Nis0:Nie0, kj1:kj2, 1)*e3t(Nis0:Nie0, kj1:kj2, 1, Kmm)
   end subroutine tra_cpl

   !> The last exchange is done.
   subroutine cpl_oce_end()
      call cpl_finalize()
   end subroutine cpl_oce_end
end module cplstp
