!> Trends: every term of the right-hand sides as a field of its own (utrd_*, vtrd_*, htrd_*, ttrd_*).
!!
!! Each term is evaluated into an empty right-hand side, written, and summed afterwards in the same order as without
!! trends: the run has the same bits with and without them.
module trd
   use par_kind, only: wp, dp
   use par_oce, only: jpi, jpj, jpk, jp_tem
   use dom_oce, only: umask, vmask, tmask
   use oce, only: uu, vv, e3t, ts
   use thkadv, only: thk_div
   use asminc, only: l_asm, tend
   use iom, only: t_iom, iom_create, iom_def, iom_enddef, iom_rec, iom_put, iom_put2d, iom_close
   use daymod, only: nsec_of
   use in_out_manager, only: lc, cn_exp, nn_it000, nn_itend
   use lib_mpp, only: ctl_stop
   use namread, only: nam_next, nam_check, nam_where, cnam, cerr
   implicit none
   private
   public :: trd_init, trd_open, trd_begin, trd_dyn, trd_tra, trd_thk, trd_end, trd_close

   integer, parameter, public :: jptrd_hpg = 1, jptrd_keg = 2, jptrd_pvo = 3, jptrd_ldf = 4, jptrd_wnd = 5, jptrd_drg = 6, &
   &                             jptrd_zb20 = 7, jptrd_asm = 8, jptrd_cpl = 9, jptrd_tot = 10
   integer, parameter, public :: jpttd_adv = 1, jpttd_ldf = 2, jpttd_res = 3, jpttd_asm = 4, jpttd_cpl = 5, jpttd_tot = 6
   character(len=4), parameter :: cp_dyn(10) = [character(len=4) :: 'hpg', 'keg', 'pvo', 'ldf', 'wnd', 'drg', 'zb20', 'asm', &
   &  'cpl', 'tot']
   character(len=40), parameter :: cp_dynlong(10) = [character(len=40) :: 'pressure gradient', 'kinetic energy gradient', &
   &  'potential vorticity flux', 'biharmonic friction', 'wind stress', 'linear drag', 'Zanna-Bolton 2020 closure', &
   &  'bias correction and analysis increments', 'external tendency', 'total']
   character(len=4), parameter :: cp_tra(6) = [character(len=4) :: 'adv', 'ldf', 'res', 'asm', 'cpl', 'tot']
   character(len=40), parameter :: cp_tralong(6) = [character(len=40) :: 'advection', 'diffusion', 'restoring', &
   &  'bias correction and analysis increments', 'external tendency', 'total']

   logical :: ln_trd = .false.          ! write trends
   integer :: nn_trd = 0                ! every so many steps
   logical :: ln_trd_r8 = .false.       ! 64-bit output
   logical, public :: l_trd = .false.   !< trends are taken in this step
   type(t_iom) :: file
   real(wp), allocatable :: ztu(:, :, :), ztv(:, :, :), ztt(:, :, :), &
   &  zht(:, :, :), zhs(:, :, :)   ! sums of the terms; thickness tendency: divergence, and the source of asminc

contains

   !> Read &namtrd.
   subroutine trd_init()
      namelist /namtrd/ ln_trd, nn_trd, ln_trd_r8
      integer :: ios
      character(len=lc) :: clname
      do while (nam_next('namtrd'))
         read (cnam, namtrd, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      if (.not. ln_trd) return
      if (nn_trd < 1) call ctl_stop('ln_trd needs nn_trd, the number of steps between trends, of at least 1.', &
      &  nam_where('namtrd', 'nn_trd'))
      write (clname, '(2a,i8.8,a,i8.8,a)') trim(cn_exp), '_', nn_it000, '_', nn_itend, '_trd.nc'
      call trd_open(clname, ln_trd_r8)
   end subroutine trd_init

   !> Create the file of trends.
   subroutine trd_open(cdpath, lddouble)
      character(len=*), intent(in) :: cdpath
      logical, intent(in) :: lddouble
      integer :: jt
      allocate (ztu(jpi, jpj, jpk), ztv(jpi, jpj, jpk), ztt(jpi, jpj, 1), zht(jpi, jpj, jpk), zhs(jpi, jpj, jpk))
      call iom_create(file, trim(cdpath)//'.part', 'trends: terms of the right-hand sides, at one instant', .true., .false., &
      &  lddouble)
      do jt = 1, size(cp_dyn)
         call iom_def(file, 'utrd_'//trim(cp_dyn(jt)), 'U', .true., ' ', 'du/dt: '//cp_dynlong(jt), 'm s-2', &
         &  'time_counter: point')
         call iom_def(file, 'vtrd_'//trim(cp_dyn(jt)), 'V', .true., ' ', 'dv/dt: '//cp_dynlong(jt), 'm s-2', &
         &  'time_counter: point')
      end do
      call iom_def(file, 'htrd_adv', 'T', .true., ' ', 'dh/dt: divergence of the transport', 'm s-1', 'time_counter: point')
      call iom_def(file, 'htrd_asm', 'T', .true., ' ', 'dh/dt: '//cp_dynlong(jptrd_asm), 'm s-1', 'time_counter: point')
      do jt = 1, size(cp_tra)
         call iom_def(file, 'ttrd_'//trim(cp_tra(jt)), 'T', .false., ' ', 'dT/dt: '//cp_tralong(jt), 'degC s-1', &
         &  'time_counter: point')
      end do
      call iom_enddef(file)
   end subroutine trd_open

   !> Begin a step, or with ptime a record of ln_rhs: decide whether trends are taken.
   subroutine trd_begin(kt, ptime)
      integer, intent(in) :: kt
      real(dp), optional, intent(in) :: ptime   !< seconds; the trends of step kt are those of the state at its beginning
      l_trd = present(ptime)
      if (ln_trd .and. .not. l_trd) l_trd = mod(kt, nn_trd) == 0
      if (.not. l_trd) return
      if (present(ptime)) then
         call iom_rec(file, ptime)
      else
         call iom_rec(file, real(nsec_of(kt - 1), dp))
      end if
      ztu(:, :, :) = 0._wp
      ztv(:, :, :) = 0._wp
      ztt(:, :, :) = 0._wp
   end subroutine trd_begin

   !> Write the momentum term that stands in the right-hand side, sum it, empty the right-hand side.
   subroutine trd_dyn(ktrd, Krhs)
      integer, intent(in) :: ktrd, Krhs   !< which term, level of the right-hand side
      call iom_put(file, 'utrd_'//trim(cp_dyn(ktrd)), uu(:, :, :, Krhs)*umask)
      call iom_put(file, 'vtrd_'//trim(cp_dyn(ktrd)), vv(:, :, :, Krhs)*vmask)
      ztu(:, :, :) = ztu + uu(:, :, :, Krhs)
      ztv(:, :, :) = ztv + vv(:, :, :, Krhs)
      uu(:, :, :, Krhs) = 0._wp
      vv(:, :, :, Krhs) = 0._wp
   end subroutine trd_dyn

   !> The tendencies of thickness.
   subroutine trd_thk()
      call thk_div(zht)
      call iom_put(file, 'htrd_adv', zht, tmask)
      zhs(:, :, :) = 0._wp
      if (l_asm) zhs(:, :, :) = tend%h
      call iom_put(file, 'htrd_asm', zhs, tmask)
   end subroutine trd_thk

   !> The same as trd_dyn for the tracer: d(h T)/dt becomes dT/dt; advection in its advective form, and a source of
   !! thickness without what it brings, so that the terms add up.
   subroutine trd_tra(ktrd, Kmm, Krhs)
      integer, intent(in) :: ktrd, Kmm, Krhs   !< which term, time levels
      call put_tra(ktrd, Kmm, Krhs)
      ztt(:, :, :) = ztt + ts(:, :, :, jp_tem, Krhs)
      ts(:, :, :, jp_tem, Krhs) = 0._wp
   end subroutine trd_tra

   subroutine put_tra(ktrd, Kmm, Krhs)
      integer, intent(in) :: ktrd, Kmm, Krhs
      real(wp), allocatable :: ztrd(:, :)
      allocate (ztrd, source=ts(:, :, 1, jp_tem, Krhs))
      if (ktrd == jpttd_adv .or. ktrd == jpttd_tot) ztrd(:, :) = ztrd - ts(:, :, 1, jp_tem, Kmm)*zht(:, :, 1)
      if (ktrd == jpttd_asm .or. ktrd == jpttd_tot) ztrd(:, :) = ztrd - ts(:, :, 1, jp_tem, Kmm)*zhs(:, :, 1)
      call iom_put2d(file, 'ttrd_'//trim(cp_tra(ktrd)), ztrd/e3t(:, :, 1, Kmm), tmask(:, :, 1))
   end subroutine put_tra

   !> Put the sums back and write the totals.
   subroutine trd_end(Kmm, Krhs, ldtra)
      integer, intent(in) :: Kmm, Krhs
      logical, intent(in) :: ldtra   !< there is a tracer
      uu(:, :, :, Krhs) = ztu
      vv(:, :, :, Krhs) = ztv
      call iom_put(file, 'utrd_'//trim(cp_dyn(jptrd_tot)), ztu*umask)
      call iom_put(file, 'vtrd_'//trim(cp_dyn(jptrd_tot)), ztv*vmask)
      if (ldtra) then
         ts(:, :, :, jp_tem, Krhs) = ztt
         call put_tra(jpttd_tot, Kmm, Krhs)
      end if
      call iom_close(file, .false.)
   end subroutine trd_end

   !> Close the file.
   subroutine trd_close()
      call iom_close(file, .true.)
   end subroutine trd_close
end module trd
