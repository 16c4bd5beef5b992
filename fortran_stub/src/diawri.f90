!> Output: instantaneous fields, means, and bursts (t-d, t, t+d), each kind in one file per run; mesh_mask.nc.
module diawri
   use par_kind, only: wp, dp
   use par_oce, only: jpi, jpj, jpk, jp_tem
   use dom_oce, only: tmask, umask, vmask, fmask, gred, grav, rn_Dt, e1t, e1u, e1v, e1f, e2t, e2u, e2v, e2f, ff_t, ff_f, &
   &  glamt, glamu, glamv, glamf, gphit, gphiu, gphiv, gphif
   use oce, only: uu, vv, e3t, ts
   use dynvor, only: vor_f
   use diahalo, only: dia_halo, nn_dia_halo
   use daymod, only: nsec_of
   use iom, only: t_iom, iom_create, iom_def, iom_enddef, iom_rec, iom_put, iom_put2d, iom_close
   use lib_mpp, only: ctl_stop
   use in_out_manager, only: lc, cn_exp, nn_it000, nn_itend, nn_write, lwp, numout
   use namread, only: nam_next, nam_check, nam_where, cnam, cerr
   implicit none
   private
   public :: dia_wri_init, dia_wri, dia_wri_close, dia_wri_mesh, dia_ssh

   !> What is known of an output field.
   type :: t_dia
      character(len=8) :: name
      character(len=1) :: point
      logical :: l3d
      character(len=32) :: std
      character(len=60) :: long
      character(len=6) :: units
   end type t_dia
   type(t_dia), parameter :: fields(6) = [ &
   &  t_dia('vozocrtx', 'U', .true., 'sea_water_x_velocity', 'velocity along i', 'm s-1'), &
   &  t_dia('vomecrty', 'V', .true., 'sea_water_y_velocity', 'velocity along j', 'm s-1'), &
   &  t_dia('thkcello', 'T', .true., 'cell_thickness', 'layer thickness', 'm'), &
   &  t_dia('sosstsst', 'T', .false., 'sea_surface_temperature', 'temperature of layer 1', 'degC'), &
   &  t_dia('sossheig', 'T', .false., ' ', 'surface height: sum over k of g(k) (h(1)+...+h(k)) / 9.81', 'm'), &
   &  t_dia('ssrelvor', 'F', .false., ' ', 'relative vorticity of layer 1, with the slip of the walls', 's-1')]

   logical :: ln_inst = .true.                  ! instantaneous fields every nn_write steps
   logical :: ln_mean = .true.                  ! means over nn_write steps
   character(len=lc) :: cn_inst = 'all'         ! which fields: all, or names
   character(len=lc) :: cn_mean = 'all'
   character(len=lc) :: cn_burst = 'vozocrtx vomecrty thkcello sosstsst'
   integer :: nn_burst = 0                      ! a burst round every nn_burst steps; 0: none
   integer :: nn_burst_d = 1                    ! its half-width d [steps]
   logical, public :: ln_dia_r8 = .false.       !< 64-bit output

   type(t_iom) :: inst, mean, burst
   real(dp), allocatable :: zsu(:, :, :), zsv(:, :, :), zsh(:, :, :), zst(:, :)   ! sums over the steps of a mean
   integer :: nsum = 0
   real(wp), allocatable :: zmu(:, :, :), zmv(:, :, :), zmh(:, :, :), zmt(:, :), zwk(:, :)

contains

   !> Read &namdia; open the files.
   subroutine dia_wri_init()
      namelist /namdia/ ln_inst, ln_mean, cn_inst, cn_mean, nn_burst, nn_burst_d, cn_burst, ln_dia_r8, nn_dia_halo
      integer :: ios
      do while (nam_next('namdia'))
         read (cnam, namdia, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      if (nn_write < 0) call ctl_stop('nn_write must not be negative.', nam_where('namrun', 'nn_write'), '0 writes nothing.')
      if (nn_burst < 0) call ctl_stop('nn_burst must not be negative.', nam_where('namdia', 'nn_burst'), '0 writes nothing.')
      if (nn_burst > 0 .and. (nn_burst_d < 0 .or. 2*nn_burst_d >= nn_burst)) &
      &  call ctl_stop('bursts overlap: nn_burst_d must be less than half of nn_burst.', nam_where('namdia', 'nn_burst_d'))
      allocate (zwk(jpi, jpj))
      zwk = 0._wp
      if (nn_write > 0 .and. ln_inst) call open_file(inst, 'inst', cn_inst, 'cn_inst', .false.)
      if (nn_write > 0 .and. ln_mean) then
         call open_file(mean, 'mean', cn_mean, 'cn_mean', .true.)
         allocate (zsu(jpi, jpj, jpk), zsv(jpi, jpj, jpk), zsh(jpi, jpj, jpk), zst(jpi, jpj))
         allocate (zmu(jpi, jpj, jpk), zmv(jpi, jpj, jpk), zmh(jpi, jpj, jpk), zmt(jpi, jpj))
         zsu = 0._dp; zsv = 0._dp; zsh = 0._dp; zst = 0._dp
      end if
      if (nn_burst > 0) call open_file(burst, 'burst', cn_burst, 'cn_burst', .false.)
   end subroutine dia_wri_init

   subroutine open_file(file, cdkind, cdlist, cdswitch, ldmean)
      type(t_iom), intent(inout) :: file
      character(len=*), intent(in) :: cdkind, cdlist, cdswitch
      logical, intent(in) :: ldmean
      character(len=lc) :: clname, clrest
      integer :: jf
      write (clname, '(2a,i8.8,a,i8.8,3a)') trim(cn_exp), '_', nn_it000, '_', nn_itend, '_', cdkind, '.nc'
      call iom_create(file, trim(clname)//'.part', cdkind, .true., ldmean, ln_dia_r8)
      clrest = ' '//cdlist
      do jf = 1, size(fields)
         if (cdlist /= 'all') then
            if (index(clrest, ' '//fields(jf)%name//' ') == 0) cycle
            clrest(index(clrest, ' '//fields(jf)%name//' '):) = clrest(index(clrest, ' '//fields(jf)%name//' ') + 9:)
         end if
         call iom_def(file, fields(jf)%name, fields(jf)%point, fields(jf)%l3d, fields(jf)%std, fields(jf)%long, &
         &  fields(jf)%units, &
         &            merge('time_counter: mean ', 'time_counter: point', ldmean))
      end do
      if (cdlist /= 'all' .and. clrest /= ' ') call ctl_stop("there is no output field '"//trim(adjustl(clrest))//"'.", &
      &  nam_where('namdia', cdswitch), 'There are: all, vozocrtx, vomecrty, thkcello, sosstsst, sossheig, ssrelvor.')
      call iom_enddef(file)
      if (lwp) write (numout, '(3a)') ' dia_wri: ', trim(clname), ' (gathered on rank 0)'
   end subroutine open_file

   !> Output of the state at the end of step kt.
   subroutine dia_wri(kt, Kmm)
      integer, intent(in) :: kt, Kmm   !< step, now level
      integer :: id

      if (kt == nn_dia_halo) call dia_halo(kt, Kmm)
      if (mean%lopen) call add(Kmm)
      if (nn_write > 0) then
         if (mod(kt, nn_write) == 0) then
            if (inst%lopen) then
               call iom_rec(inst, real(nsec_of(kt), dp))
               call put(inst, uu(:, :, :, Kmm), vv(:, :, :, Kmm), e3t(:, :, :, Kmm), ts(:, :, 1, jp_tem, Kmm))
            end if
            if (mean%lopen) call put_mean(kt)
         end if
      end if
      if (nn_burst > 0) then
         id = modulo(kt + nn_burst_d, nn_burst) - nn_burst_d   ! distance from the centre of the nearest burst
         if (any(id == [-nn_burst_d, 0, nn_burst_d])) then
            call iom_rec(burst, real(nsec_of(kt), dp))
            call put(burst, uu(:, :, :, Kmm), vv(:, :, :, Kmm), e3t(:, :, :, Kmm), ts(:, :, 1, jp_tem, Kmm))
         end if
      end if
   end subroutine dia_wri

   subroutine add(Kmm)
      integer, intent(in) :: Kmm
      zsu(:, :, :) = zsu + real(uu(:, :, :, Kmm), dp)
      zsv(:, :, :) = zsv + real(vv(:, :, :, Kmm), dp)
      zsh(:, :, :) = zsh + real(e3t(:, :, :, Kmm), dp)
      zst(:, :) = zst + real(ts(:, :, 1, jp_tem, Kmm), dp)
      nsum = nsum + 1
   end subroutine add

   !> Mean over the steps since the last one (of this run: a mean does not reach over a restart).
   subroutine put_mean(kt)
      integer, intent(in) :: kt
      real(dp) :: z1, zt(2)
      z1 = 1._dp/real(nsum, dp)
      zt = [real(nsec_of(kt - nsum), dp), real(nsec_of(kt), dp)] + 0.5_dp*real(rn_Dt, dp)   ! the states are those of steps' ends
      zmu(:, :, :) = real(zsu*z1, wp)
      zmv(:, :, :) = real(zsv*z1, wp)
      zmh(:, :, :) = real(zsh*z1, wp)
      zmt(:, :) = real(zst*z1, wp)
      call iom_rec(mean, 0.5_dp*(zt(1) + zt(2)), zt)
      call put(mean, zmu, zmv, zmh, zmt)
      zsu = 0._dp; zsv = 0._dp; zsh = 0._dp; zst = 0._dp
      nsum = 0
   end subroutine put_mean

   subroutine put(file, pu, pv, ph, pt)
      type(t_iom), intent(inout) :: file
      real(wp), intent(in) :: pu(:, :, :), pv(:, :, :), ph(:, :, :), pt(:, :)
      call iom_put(file, 'vozocrtx', pu)
      call iom_put(file, 'vomecrty', pv)
      call iom_put(file, 'thkcello', ph, tmask)
      call iom_put2d(file, 'sosstsst', pt, tmask(:, :, 1))
      call dia_ssh(ph, zwk)
      call iom_put2d(file, 'sossheig', zwk, tmask(:, :, 1))
      call vor_f(pu(:, :, 1), pv(:, :, 1), zwk)
      call iom_put2d(file, 'ssrelvor', zwk)
      call iom_close(file, .false.)
   end subroutine put

   !> Surface height: sum over k of g(k) (h(1)+...+h(k)) / 9.81.
   subroutine dia_ssh(ph, pssh)
      real(wp), intent(in) :: ph(:, :, :)      !< thickness [m]
      real(wp), intent(inout) :: pssh(:, :)    !< surface height [m]
      real(wp), allocatable :: zsum(:, :)
      integer :: jk
      allocate (zsum, source=ph(:, :, 1))
      pssh(:, :) = gred(1)*zsum
      do jk = 2, jpk
         zsum(:, :) = zsum + ph(:, :, jk)
         pssh(:, :) = pssh + gred(jk)*zsum
      end do
      pssh(:, :) = pssh/grav
   end subroutine dia_ssh

   !> Close the files.
   subroutine dia_wri_close()
      call iom_close(inst, .true.)
      call iom_close(mean, .true.)
      call iom_close(burst, .true.)
   end subroutine dia_wri_close

   !> Write mesh_mask.nc.
   subroutine dia_wri_mesh()
      type(t_iom) :: file
      call iom_create(file, 'mesh_mask.nc.part', 'coordinates, metrics and masks', .false., .false., .true.)
      call def2('glam', 'distance from the western wall', 'km')
      call def2('gphi', 'distance from the southern wall', 'km')
      call def2('e1', 'width along i', 'm')
      call def2('e2', 'width along j', 'm')
      call iom_def(file, 'ff_t', 'T', .false., 'coriolis_parameter', 'Coriolis parameter', 's-1', ' ')
      call iom_def(file, 'ff_f', 'F', .false., 'coriolis_parameter', 'Coriolis parameter', 's-1', ' ')
      call iom_def(file, 'tmask', 'T', .true., ' ', '1 wet, 0 land', '1', ' ')
      call iom_def(file, 'umask', 'U', .true., ' ', '1 wet, 0 land', '1', ' ')
      call iom_def(file, 'vmask', 'V', .true., ' ', '1 wet, 0 land', '1', ' ')
      call iom_def(file, 'fmask', 'F', .true., ' ', '1 wet, 0 land, rn_shlat on the coast', '1', ' ')
      call iom_enddef(file)
      call put4('glam', glamt, glamu, glamv, glamf)
      call put4('gphi', gphit, gphiu, gphiv, gphif)
      call put4('e1', e1t, e1u, e1v, e1f)
      call put4('e2', e2t, e2u, e2v, e2f)
      call iom_put2d(file, 'ff_t', ff_t)
      call iom_put2d(file, 'ff_f', ff_f)
      call iom_put(file, 'tmask', tmask)
      call iom_put(file, 'umask', umask)
      call iom_put(file, 'vmask', vmask)
      call iom_put(file, 'fmask', fmask)
      call iom_close(file, .true.)

   contains

      subroutine def2(cdname, cdlong, cdunits)
         character(len=*), intent(in) :: cdname, cdlong, cdunits
         call iom_def(file, cdname//'t', 'T', .false., ' ', cdlong, cdunits, ' ')
         call iom_def(file, cdname//'u', 'U', .false., ' ', cdlong, cdunits, ' ')
         call iom_def(file, cdname//'v', 'V', .false., ' ', cdlong, cdunits, ' ')
         call iom_def(file, cdname//'f', 'F', .false., ' ', cdlong, cdunits, ' ')
      end subroutine def2

      subroutine put4(cdname, pt, pu, pv, pf)
         character(len=*), intent(in) :: cdname
         real(wp), intent(in) :: pt(:, :), pu(:, :), pv(:, :), pf(:, :)
         call iom_put2d(file, cdname//'t', pt)
         call iom_put2d(file, cdname//'u', pu)
         call iom_put2d(file, cdname//'v', pv)
         call iom_put2d(file, cdname//'f', pf)
      end subroutine put4
   end subroutine dia_wri_mesh
end module diawri
